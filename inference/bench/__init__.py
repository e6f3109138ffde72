"""What batching, steering and watching cost. Every row is a ratio measured side by side in one run: A, B, A, B, …"""
