"""The config: its sections, and how a TOML file, the environment and --set become them."""
