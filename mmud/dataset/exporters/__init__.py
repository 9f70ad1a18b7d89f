"""Writers of other tools' formats: one file a format, each saying what its format cannot hold."""
