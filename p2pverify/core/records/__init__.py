"""The signed records, and the checks that each must pass before it is believed."""
