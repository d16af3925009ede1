"""The trusted core: read this folder to believe epsilon."""
