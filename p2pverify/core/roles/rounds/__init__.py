"""What one peer does in training rounds: it contributes updates, and votes on results."""
