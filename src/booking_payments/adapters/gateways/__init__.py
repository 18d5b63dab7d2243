"""The gateways of this package, one folder each, found by their entry points as those of other packages are."""
