"""The `bakeoff` command. Every step of its work goes through a service or a process of its own."""
