"""Where session records are stored, behind one contract."""
