"""Data sources, one a file with its options, its licence and, where it is downloaded, its checksum."""
