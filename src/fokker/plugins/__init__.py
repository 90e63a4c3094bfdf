"""Plugins: the hooks, the host that loads what is installed, and the registry of components.

Nothing in this package imports torch.
"""

from fokker.plugins.host import Host, Plugin, load_plugins
from fokker.plugins.registry import Entry, Provider, Registry

__all__ = ["Entry", "Host", "Plugin", "Provider", "Registry", "load_plugins"]
