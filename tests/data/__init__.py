"""Data that tests make."""
