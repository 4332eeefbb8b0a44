"""Checks of what every data source, model, mechanism and protocol must do, for one's own ones too."""
