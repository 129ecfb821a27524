"""The configuration: one table of settings (schema), layered loading with every mistake named (load)."""

from noctule.config.load import LoadedConfig, SettingOrigin, changes, load_config
from noctule.config.schema import Config

__all__ = ["Config", "LoadedConfig", "SettingOrigin", "changes", "load_config"]
