"""What happens around training, one small file each."""
