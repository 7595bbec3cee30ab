"""What people read, in English and Chinese: one catalogue for command line, console and API."""
