"""The AWS CLI without its start: loads it once and forks for each call.

A start of the AWS CLI takes most of the time of a call, and these tests make hundreds. Run
with the Python of the AWS CLI's environment:

    aws_server.py serve SOCKET      serves calls
    aws_server.py call SOCKET ...   makes one: folder, arguments, environment, output, exit code as `aws`

A call's environment is its own. What is loaded before depends on none.
"""

import os
import sys

# Two numbers that say how long arguments and environment are.
HEAD = 16


def load():
    """Loads what every call loads, and returns the AWS CLI ready for its arguments."""
    # Nothing of the person's own, and no patience with the port below.
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        os.environ[name] = os.devnull
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ[name] = "test"
    os.environ.update(AWS_RETRY_MODE="standard", AWS_MAX_ATTEMPTS="1")
    os.environ.pop("AWS_PROFILE", None)

    import awscli.clidriver
    import awscli.handlers  # noqa: F401, what every call imports

    # Version 2's library in C logs by a thread of its own, whose lock no fork gives back.
    if hasattr(awscli.clidriver, "disable_crt_logging"):
        awscli.clidriver.disable_crt_logging = lambda: None

    make = awscli.clidriver.create_clidriver
    loader = make().session.get_component("data_loader")
    kind, files = type(loader), type(loader.file_loader)
    load_file, list_services = files.load_file, kind.list_available_services
    contents, services = {}, {}

    # A fork's changes to these are its own.
    def load_once(self, path):
        if path not in contents:
            contents[path] = load_file(self, path)
        return contents[path]

    def list_once(self, type_name):
        if type_name not in services:
            services[type_name] = list_services(self, type_name)
        return services[type_name]

    files.load_file, kind.list_available_services = load_once, list_once
    # What only a call imports and reads. It ends at a port where nobody listens.
    nowhere = ["--endpoint-url=http://127.0.0.1:9", "--region=eu-west-1"]
    for words in (["iot", "describe-endpoint"], ["sts", "get-caller-identity"]):
        make().main(words + nowhere)
    driver = make()
    commands = driver._get_command_table()
    for service in ("iot", "sts"):
        commands[service]._get_command_table()
    # Configuration files are the call's own.
    driver.session._config = None
    driver.session._profile_map = None
    return driver


def serve(path):
    import gc
    import signal
    import socket

    driver = load()
    # Set by the import.
    data = os.environ["AWS_DATA_PATH"]
    # Otherwise each fork would copy what it only looks at.
    gc.disable()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(64)
    while True:
        connection, _ = listener.accept()
        if os.fork():
            connection.close()
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        listener.close()
        # Standard output and standard error of the caller come with the first bytes.
        head, files, _, _ = socket.recv_fds(connection, HEAD, 2)
        with connection.makefile("rb") as stream:
            head += stream.read(HEAD - len(head))
            sizes = [int.from_bytes(head[at : at + 8], "little") for at in (0, 8)]
            words, environment = (stream.read(size).split(b"\0") for size in sizes)
        os.dup2(files[0], 1)
        os.dup2(files[1], 2)
        os.environ.clear()
        os.environ["AWS_DATA_PATH"] = data
        for entry in environment:
            name, _, value = os.fsdecode(entry).partition("=")
            os.environ[name] = value
        folder, *words = (os.fsdecode(word) for word in words)
        os.chdir(folder)
        sys.argv = ["aws", *words]
        try:
            code = driver.main(words)
        except SystemExit as end:
            code = end.code or 0
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(bytes([code]))
        os._exit(0)


def call(path, words):
    # Bare modules: importing `socket` and its like would take longer than all the rest.
    import _socket

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.connect(path)
    words = b"\0".join(os.fsencode(word) for word in [os.getcwd(), *words])
    environment = b"\0".join(name + b"=" + value for name, value in os.environb.items())
    sizes = b"".join(len(part).to_bytes(8, "little") for part in (words, environment))
    files = b"".join(number.to_bytes(4, sys.byteorder) for number in (1, 2))
    connection.sendmsg([sizes], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
    connection.sendall(words + environment)
    code = connection.recv(1)
    sys.exit(code[0] if code else 255)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        call(sys.argv[2], sys.argv[3:])
