"""The inspector: reading and loading SavedModels in a process of their own, and reporting what was found."""
