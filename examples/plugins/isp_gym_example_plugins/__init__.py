"""Plug-ins for ISP Gym: a module and its bank, a task, a reward, a data source and an agent."""
