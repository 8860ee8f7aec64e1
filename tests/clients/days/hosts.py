"""The hosts of the cloud that administrators have their days on."""

import socket

# What `novamesh up` runs on is called what the machine is.
FIRST = socket.gethostname()
SECOND = "second"
