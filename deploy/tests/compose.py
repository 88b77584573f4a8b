"""Runs the compose file on a container engine, under a project name of its own."""

import contextlib
import json
import os
import pathlib
import subprocess

import docker as docker_sdk
import yaml

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
# Our own: the ones that are built here. The viewer is no service of the request, and has the command's image.
SERVICES = [
    name
    for name, service in COMPOSE["services"].items()
    if "build" in service and service["build"]["args"]["SERVICE"] == name
]

# The viewer's image holds the command `fanout`.
IMAGES = [*SERVICES, "view"]

# The user of the images: no container runs as root.
USER = (65532, 65532)


def make_certificates(directory):
    """Makes or renews the certificates, and returns the user who can read them, as `docker run --user` takes it."""
    # As `fanout_up` of the interop tests has it.
    fanout = os.environ.get("FANOUT", REPOSITORY / "target/debug/fanout")
    subprocess.run([fanout, "certs", directory], check=True, capture_output=True, timeout=60)
    if os.getuid() != 0:
        return f"{os.getuid()}:{os.getgid()}"
    for path in pathlib.Path(directory).rglob("*"):
        os.chown(path, *USER)
    return "{}:{}".format(*USER)


class Compose:
    """`docker compose` with these files and settings. `remove` removes everything it created."""

    def __init__(self, project, files, **settings):
        self.project = project
        self.command = ["docker", "compose", "--project-name", project]
        for file in ["docker-compose.yml", *files]:
            self.command += ["-f", file]
        # Port 0 is any free port.
        self.env = os.environ | {"GATEWAY_PORT": "0", "JAEGER_PORT": "0", "VIEW_PORT": "0", "FANOUT_TAG": "check"} | settings

    def run(self, *args, check=True, timeout=600):
        done = subprocess.run(
            [*self.command, *args], cwd=REPOSITORY, env=self.env, capture_output=True, text=True, timeout=timeout
        )
        if check and done.returncode != 0:
            raise AssertionError(f"docker compose {' '.join(args)}: {done.stderr}\n{self.logs()}")
        return done

    def logs(self):
        return self.run("logs", "--tail", "30", check=False).stdout

    def up(self, *args):
        self.run("up", "--detach", "--wait", "--wait-timeout", "120", "--no-build", "--pull", "never", *args)

    def address(self):
        """The address on which the gateway is published."""
        return self.run("port", "gateway", "50051").stdout.strip()

    def containers(self, service):
        ids = self.run("ps", "--all", "--quiet", service).stdout.split()
        return json.loads(docker("inspect", *ids)) if ids else []

    def memory(self):
        """The memory that each running container uses, in bytes without the cache of files, by the container's name."""
        # Not `docker stats`: it leaves out a container that the engine has not measured within two seconds.
        ids = self.run("ps", "--quiet").stdout.split()
        with contextlib.closing(docker_sdk.from_env()) as engine:
            containers = [engine.containers.get(identity) for identity in ids]
            memory = {c.name: c.stats(stream=False, one_shot=True)["memory_stats"] for c in containers}
        return {name: used["usage"] - used["stats"]["inactive_file"] for name, used in memory.items()}

    def remove(self):
        self.run("down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)


def docker(*args, check=True):
    done = subprocess.run(["docker", *args], cwd=REPOSITORY, capture_output=True, text=True, timeout=1800)
    assert not check or done.returncode == 0, f"docker {' '.join(args)}: {done.stderr}"
    return done.stdout


def build():
    """Builds the images with the arguments of the compose file."""
    network = os.environ.get("FANOUT_BUILD_NETWORK", "default")
    for service in IMAGES:
        arguments = COMPOSE["services"][service]["build"]["args"]
        names = [name for name in ("SERVICE", "NAME", "SETTINGS", "PORT") if name in arguments]
        flags = [flag for name in names for flag in ("--build-arg", f"{name}={arguments[name]}")]
        docker("build", "--quiet", "--network", network, *flags, "--tag", f"fanout/{service}:check", ".")


def remove_images():
    docker("image", "rm", "--force", *(f"fanout/{service}:check" for service in IMAGES), check=False)
