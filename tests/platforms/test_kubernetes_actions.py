"""Actions of chaostoolkit-kubernetes, each order in a process of its own: against an API server of the test's own that speaks TLS, and notes what it is asked."""

import base64
import datetime
import http.server
import ipaddress
import json
import os
import ssl
import stat
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from drplatform.model import errors
from drplatform.platforms.kubernetes import Cluster, actions

SECRET = "a-token-of-the-cluster"


def certificate(directory, name):
    """A self-signed one for 127.0.0.1, with its key; the file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder(who, who, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = directory / f"{name}.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file, made.public_bytes(serialization.Encoding.PEM)


class Api:
    """Pods and nodes by name, as far as the actions ask for them."""

    def __init__(self, directory, pods):
        self.directory, self.pods, self.asked, self.modes = directory, list(pods), [], []
        self.file, self.authority = certificate(directory, "server")
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer({"items": [{"metadata": {"name": n}, "spec": {"containers": []}} for n in api.pods]})

            def do_DELETE(self):
                api.pods.remove(self.path.rpartition("/")[2].partition("?")[0])
                self.answer({"metadata": {}})

            def do_PATCH(self):
                self.answer({"message": "nodes is forbidden: nobody may"}, 403)

            def answer(self, document, code=200):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                api.asked.append((self.command, self.path, self.headers["Authorization"], json.loads(body or b"null")))
                api.modes += [(f.name, stat.S_IMODE(f.stat().st_mode)) for own in directory.glob("chaos-*") for f in (own, *own.iterdir())]
                text = json.dumps(document).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                """Not wanted."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def kubeconfig(self, authority):
        trusted = {
            "server": f"https://127.0.0.1:{self.server.server_port}",
            "certificate-authority-data": base64.b64encode(authority).decode(),
        }
        return json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "chosen",
            "contexts": [{"name": "chosen", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": trusted}],
            "users": [{"name": "u", "user": {"token": SECRET}}],
        })  # fmt: skip

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def api(tmp_path):
    made = Api(tmp_path, ["redis-1-0", "redis-1-01", "redis-10-0", "mongodb-1-0"])
    yield made
    made.close()


def left(directory):
    return list(directory.glob("chaos-*"))


def test_pods_die_by_their_whole_names_in_a_process_that_alone_may_read_its_kubeconfig(api, tmp_path):
    environment = {**os.environ, "KUBECONFIG": "/nowhere", "KUBERNETES_CONTEXT": "another", "HTTP_PROXY": "http://127.0.0.1:9"}
    wanted = [actions.terminate_pods("of-a-run", ["redis-1-0", "mongodb-1-0"])]
    actions.act(wanted, api.kubeconfig(api.authority), environment, tmp_path)
    assert api.pods == ["redis-1-01", "redis-10-0"]
    deleted = [(path, body) for verb, path, _, body in api.asked if verb == "DELETE"]
    assert [path for path, _ in deleted] == [f"/api/v1/namespaces/of-a-run/pods/{name}" for name in ("redis-1-0", "mongodb-1-0")]
    assert all(body["gracePeriodSeconds"] == 0 for _, body in deleted)
    assert all(token == f"Bearer {SECRET}" for _, _, token, _ in api.asked), "the kubeconfig was that of the order"
    assert ("config", 0o600) in api.modes and all(mode & 0o077 == 0 for _, mode in api.modes) and not left(tmp_path)


def test_a_server_that_the_kubeconfig_does_not_trust_is_told_nothing(api, tmp_path):
    _, another = certificate(tmp_path, "another")
    with pytest.raises(errors.StoreError, match=r"terminate_pods of chaostoolkit-kubernetes failed: .*certificate verify failed") as raised:
        actions.act([actions.terminate_pods("of-a-run", ["redis-1-0"])], api.kubeconfig(another), os.environ, tmp_path)
    assert not api.asked and "redis-1-0" in api.pods and SECRET not in str(raised.value) and not left(tmp_path)


def test_what_the_api_server_refuses_is_told_in_its_words(api, tmp_path):
    api.pods = ["node-1"]
    with pytest.raises(errors.StoreError, match=r"cordon_node of chaostoolkit-kubernetes failed: .*nobody may"):
        actions.act([actions.cordon("node-1"), actions.terminate_pods("x", ["y"])], api.kubeconfig(api.authority), os.environ, tmp_path)
    (listed, patched) = api.asked
    assert "fieldSelector=metadata.name" in listed[1] and patched[:2] == ("PATCH", "/api/v1/nodes/node-1")
    assert patched[3] == {"spec": {"unschedulable": True}} and not left(tmp_path)


def test_an_order_that_does_not_end_in_time_ends_with_its_kubeconfig(api, tmp_path):
    with pytest.raises(errors.StoreError, match=r"terminate_pods of chaostoolkit-kubernetes did not end within 0\.01 s"):
        actions.act([actions.terminate_pods("x", ["y"])], api.kubeconfig(api.authority), os.environ, tmp_path, seconds=0.01)
    assert not left(tmp_path)


def test_an_action_that_the_extension_does_not_have_is_named(tmp_path):
    with pytest.raises(errors.StoreError, match=r"failed: .*no_such"):
        actions.act([actions.Action("pod", "no_such")], "{}", os.environ, tmp_path)


def test_a_cordon_without_a_name_is_refused():
    """The action would take every node for meant."""
    with pytest.raises(ValueError, match="every node"):
        actions.cordon("")


def test_the_kubeconfig_of_an_order_holds_the_chosen_context_alone(tmp_path):
    """By kubectl's own view; none where kubectl itself uses the account of a pod."""
    asked = tmp_path / "asked"
    program = tmp_path / "kubectl"
    view = {"contexts": [{"name": "live"}], "clusters": [{"cluster": {"server": "https://api.example.org:6443"}}]}
    program.write_text(f"#!/bin/sh\necho \"$@\" >> {asked}\necho '{json.dumps(view)}'\n")
    program.chmod(0o755)
    assert json.loads(Cluster("k", "live", os.environ, str(program))._chosen()) == view
    assert asked.read_text().splitlines()[-1] == "--kubeconfig k --context live config view --minify --flatten --raw -o json"
    program.write_text("#!/bin/sh\nexit 1\n")
    assert Cluster("", "", {**os.environ, "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, str(program))._chosen() == ""
