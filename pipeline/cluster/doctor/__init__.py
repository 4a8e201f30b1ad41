"""The doctor: whether this machine and the cluster have what a first night needs."""
