"""What is delivered beside the program: that it fits the program."""
