"""The one thing that setup.cfg cannot say: two folders of the top level ship inside the package.

``alembic/`` becomes ``mistral_lite/_alembic`` and ``etc/`` becomes ``mistral_lite/_etc`` in a wheel. A source
tree and an editable install use the folders where they are.
"""

from setuptools import find_namespace_packages, setup

setup(
    packages=[
        *find_namespace_packages(include=["mistral_lite", "mistral_lite.*"]),
        "mistral_lite._alembic",
        "mistral_lite._alembic.versions",
        "mistral_lite._etc",
    ],
    package_dir={
        "mistral_lite._alembic": "alembic",
        "mistral_lite._alembic.versions": "alembic/versions",
        "mistral_lite._etc": "etc",
    },
)
