"""Images and texts that training shares with evaluation."""
