"""The sandbox as a process, where tests look for it."""

from dev.sandbox import RunningSandbox, connection_to, running_sandbox

__all__ = ["RunningSandbox", "connection_to", "running_sandbox"]
