"""Rules that hold for the whole repository: its sources, documents, dependencies and generated pages."""
