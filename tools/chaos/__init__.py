"""Real processes, killed and frozen at random, with a third party that counts what really happened.

``servers`` are a PostgreSQL and a RabbitMQ of its own, ``service`` the processes of this project, ``outside`` the
third party, ``workload`` the workflows and what must come of them, ``storm`` the faults.
"""
