"""Files that people write or that the node keeps in its home: keys, configuration, networks, manifests, prompts."""
