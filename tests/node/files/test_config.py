"""config.toml: defaults, the commented template, and errors."""

import tomllib

import pytest

from p2pverify.node.files.config import TEMPLATE, Config, load_config, uses_mdns
from p2pverify.node.files.textfile import FileError


def test_a_missing_file_means_defaults(tmp_path):
    """A node runs without a config file."""
    assert load_config(tmp_path / "config.toml") == Config()


def test_the_template_holds_every_default(tmp_path):
    """The file that `init` writes changes nothing. Without its comment marks it has the defaults."""
    path = tmp_path / "config.toml"
    path.write_text(TEMPLATE)
    assert load_config(path) == Config()
    lines = [line[2:] for line in TEMPLATE.splitlines() if line.startswith("# ") and (" = " in line or line[2] == "[")]
    shown = tomllib.loads("\n".join(lines))
    assert set(shown) == set(Config.model_fields)
    examples = {name for name, value in shown.items() if str(value).startswith("/path/")}  # keys without a default
    assert Config.model_validate({name: shown[name] for name in set(shown) - examples}) == Config()
    assert all(Config.model_fields[name].default is None for name in examples)


def test_keys_are_read(tmp_path):
    """Every key can be set."""
    path = tmp_path / "config.toml"
    path.write_text(
        'listen = "/ip4/127.0.0.1/tcp/1"\nbootstrap = ["/dns/example.org/tcp/4747"]\nhttp = "[::1]:8080"\n'
        'engine = "toy"\nweights = "~/w.gguf"\nlog_level = "debug"\ncontext_tokens = 8192\n'
    )
    config = load_config(path)
    assert (config.http, config.engine, config.log_level) == ("[::1]:8080", "toy", "debug")
    assert config.context_tokens == 8192
    assert config.weights is not None
    assert config.weights.is_absolute()


def test_one_or_more_listening_addresses(tmp_path):
    """One address is a text, several are a list, and an empty list is a node that only dials."""
    path = tmp_path / "config.toml"
    both = ("/ip4/0.0.0.0/tcp/4747", "/ip6/::/tcp/4747")
    for text, expected in ((f'"{both[0]}"', both[:1]), (f'["{both[0]}", "{both[1]}"]', both), ("[]", ())):
        path.write_text(f"listen = {text}")
        assert load_config(path).listen == expected
    assert not uses_mdns((), wanted=True)
    assert uses_mdns(("/ip4/127.0.0.1/tcp/1", "/ip6/::/tcp/1"), wanted=True)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('listn = "x"', "unknown key 'listn'"),
        ('listen = "127.0.0.1:80"', "key 'listen'"),
        ('listen = "/ip4/127.0.0.1/udp/80"', "key 'listen': '/ip4/127.0.0.1/udp/80': the transport must be tcp"),
        ('listen = "/ip4/300.1.1.1/tcp/80"', "key 'listen': '/ip4/300.1.1.1/tcp/80'"),
        ('bootstrap = ["/ip4/1.2.3.4/tcp/1/p2p/QmX"]', "key 'bootstrap': '/ip4/1.2.3.4/tcp/1/p2p/QmX'"),
        ('announce = ["/dns4/a.example/tcp/1"]', "key 'announce': '/dns4/a.example/tcp/1'"),
        ('openai_url = "127.0.0.1:8000"', "key 'openai_url': '127.0.0.1:8000'"),
        ('http = "8080"', "key 'http': '8080' is not HOST:PORT, for example 127.0.0.1:8080"),
        ("bootstrap = [7]", "key 'bootstrap[1]'"),
        ("listen = 7", "key 'listen'"),
        (f"listen = {['/ip4/127.0.0.1/tcp/1'] * 5}", "key 'listen'"),
        ('bootstrap = ["x"]', "key 'bootstrap'"),
        ("context_tokens = 1023", "key 'context_tokens'"),
        ("context_tokens = 131073", "key 'context_tokens'"),
        ('http = "0.0.0.0:80"', "loopback"),
        ('http = "127.0.0.1"', "HOST:PORT"),
        ('http = "127.0.0.1:99999"', "HOST:PORT"),
        ('engine = "gpt"', "key 'engine'"),
        ('log_level = "loud"', "key 'log_level'"),
        ("[blobs]\nserve = 3", "key 'blobs.serve'"),
        ("[blobs]\nserves = true", "unknown key 'blobs.serves'"),
        ("[blobs]\nquota_gb = -1", "key 'blobs.quota_gb'"),
        ("[blobs]\nupload_mb_per_s = 0.5", "key 'blobs.upload_mb_per_s'"),
        ("listen =", "is not TOML"),
    ],
)
def test_faults_are_named(tmp_path, line, reason):
    """Each fault is reported with its key and advice."""
    path = tmp_path / "config.toml"
    path.write_text(line)
    with pytest.raises(FileError) as caught:
        load_config(path)
    assert reason in caught.value.reason
    assert caught.value.hint


@pytest.mark.parametrize(
    ("listen", "uses"),
    [
        ("/ip4/0.0.0.0/tcp/4747", True),
        ("/ip6/::/tcp/1", True),
        ("/ip4/192.0.2.1/tcp/1", True),
        ("/ip4/127.0.0.1/tcp/1", False),
        ("/ip4/127.0.0.9/tcp/1", False),
        ("/ip6/::1/tcp/1", False),
    ],
)
def test_mdns_is_for_the_local_network(listen, uses):
    """By default it is on if other machines could connect. It is never on if it is switched off."""
    assert uses_mdns([listen], wanted=Config().mdns) is uses
    assert not uses_mdns([listen], wanted=False)
