"""Commands about archives: segments of a network's history as files."""
