"""The AWS CLI without its start: imports it once and forks for each call.

A start of the AWS CLI takes most of the time of a call, and these tests make hundreds. Run
with the Python of the AWS CLI's environment:

    aws_server.py serve SOCKET      serves calls
    aws_server.py call SOCKET ...   makes one: arguments, environment, output, exit code as `aws`
"""

import array
import json
import os
import pickle
import socket
import sys


def warm(loader):
    """Reads the data files of the calls to come; the forks find them read."""
    kind, files = type(loader), type(loader.file_loader)
    load_file, list_services = files.load_file, kind.list_available_services
    contents, services = {}, {}

    def load(self, path):
        if path not in contents:
            contents[path] = pickle.dumps(load_file(self, path))
        # A copy: whoever loads data may change it.
        return pickle.loads(contents[path])

    def list_once(self, type_name):
        if type_name not in services:
            services[type_name] = list_services(self, type_name)
        return list(services[type_name])

    files.load_file, kind.list_available_services = load, list_once
    for service in ("iot", "sts"):
        for kind_of_file in ("service-2", "paginators-1", "waiters-2", "endpoint-rule-set-1"):
            loader.list_available_services(kind_of_file)
            try:
                loader.load_service_model(service, kind_of_file)
            except Exception:  # not every service has every file
                pass
    for name in ("endpoints", "partitions", "_retry", "cli", "sdk-default-configuration"):
        loader.load_data(name)


def serve(path):
    import awscli.clidriver
    import awscli.handlers  # noqa: F401, what every call imports
    import signal

    warm(awscli.clidriver.create_clidriver().session.get_component("data_loader"))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(64)
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork():
            connection.close()
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        listener.close()
        size = array.array("i", [0, 0]).itemsize * 2
        data, ancillary, _, _ = connection.recvmsg(1 << 20, socket.CMSG_SPACE(size))
        files = array.array("i")
        files.frombytes(ancillary[0][2])
        while not data.endswith(b"\n"):
            data += connection.recv(1 << 20)
        request = json.loads(data)
        os.dup2(files[0], 1)
        os.dup2(files[1], 2)
        # Set by the import above.
        data = os.environ["AWS_DATA_PATH"]
        os.environ.clear()
        os.environ.update(request["environment"], AWS_DATA_PATH=data)
        sys.argv = ["aws", *request["arguments"]]
        try:
            code = awscli.clidriver.main()
        except SystemExit as end:
            code = end.code or 0
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(bytes([code]))
        os._exit(0)


def call(path, arguments):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(path)
    request = {"arguments": arguments, "environment": dict(os.environ)}
    files = array.array("i", [1, 2])
    connection.sendmsg([b" "], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
    connection.sendall(json.dumps(request).encode() + b"\n")
    code = connection.recv(1)
    sys.exit(code[0] if code else 255)


if sys.argv[1] == "serve":
    serve(sys.argv[2])
else:
    call(sys.argv[2], sys.argv[3:])
