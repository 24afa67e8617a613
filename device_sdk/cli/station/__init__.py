"""What `device-sdk provision` does, a file for each verb."""
