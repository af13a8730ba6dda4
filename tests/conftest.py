"""What every run of the tests stands on."""

pytest_plugins = ["tests.servers.leash"]
