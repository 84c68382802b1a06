"""An authoritative name server for one small zone, as a process of the embedded platform: `python -m ... --listen HOST:PORT --zone FILE
--key FILE`. Answers by UDP and TCP, takes updates signed with the zone's key (RFC 2136, RFC 8945), and has each on disk before it answers.

For drills on one machine; a real region uses a real name server, to which `drplatform.traffic.rfc2136` speaks alike.
"""

import argparse
import asyncio
import contextlib
import os
import signal
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring
import dns.update
import dns.zone

_SECONDS_IDLE = 30.0


class Authority:
    """The zone. Every change is written whole, beside the old file, and takes its place before it is acknowledged."""

    def __init__(self, file: Path, keyring: dict[dns.name.Name, dns.tsig.Key]) -> None:
        self._file, self._keyring = file, keyring
        self._zone = dns.zone.from_text(file.read_text(), relativize=False, check_origin=True)

    def answer(self, wire: bytes) -> bytes | None:
        """The reply to a message, or None for what deserves none."""
        try:
            query = dns.message.from_wire(wire, keyring=self._keyring)
        except (dns.message.UnknownTSIGKey, dns.tsig.BadSignature, dns.tsig.BadTime, dns.tsig.BadKey, dns.tsig.PeerError):
            return _refused(wire)
        except dns.exception.DNSException:
            return None
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        if isinstance(query, dns.update.UpdateMessage):
            reply.set_rcode(self._updated(query))
        else:
            self._find(query, reply)
        return reply.to_wire()

    def _find(self, query: dns.message.Message, reply: dns.message.Message) -> None:
        for question in query.question:
            node = self._zone.get_node(question.name)
            if node is None or not question.name.is_subdomain(self._origin):
                reply.set_rcode(dns.rcode.NXDOMAIN if question.name.is_subdomain(self._origin) else dns.rcode.REFUSED)
                continue
            found = node.get_rdataset(dns.rdataclass.IN, question.rdtype)
            if found is not None:
                answer = reply.find_rrset(reply.answer, question.name, dns.rdataclass.IN, question.rdtype, create=True)
                answer.update(found)  # type: ignore[no-untyped-call]
                answer.ttl = found.ttl

    @property
    def _origin(self) -> dns.name.Name:
        assert self._zone.origin is not None
        return self._zone.origin

    def _updated(self, message: dns.update.UpdateMessage) -> dns.rcode.Rcode:
        if not message.had_tsig:
            return dns.rcode.REFUSED
        if message.prerequisite or [z.name for z in message.zone] != [self._origin]:
            return dns.rcode.NOTIMP if message.prerequisite else dns.rcode.NOTAUTH
        with self._zone.writer() as changes:
            for rrset in message.update:
                if rrset.deleting == dns.rdataclass.ANY:
                    changes.delete(rrset.name, rrset.rdtype) if rrset.rdtype != dns.rdatatype.ANY else changes.delete(rrset.name)
                elif rrset.deleting == dns.rdataclass.NONE:
                    changes.delete(rrset.name, dns.rdataset.from_rdata_list(0, list(rrset)))
                else:
                    changes.add(rrset.name, dns.rdataset.from_rdata_list(rrset.ttl, list(rrset)))
            changes.update_serial(name=self._origin)
        self._save()
        return dns.rcode.NOERROR

    def _save(self) -> None:
        fresh = self._file.with_suffix(".new")
        with fresh.open("w") as out:
            self._zone.to_file(out, relativize=False, want_origin=True)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(self._file)


def _refused(wire: bytes) -> bytes:
    """NOTAUTH, unsigned: the signature was none of ours (RFC 8945, 5.3.2)."""
    header = bytearray(wire[:12])
    header[2] |= 0x80
    header[3] = (header[3] & 0xF0) | dns.rcode.NOTAUTH
    header[4:12] = bytes(8)
    return bytes(header)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        if reply := self._authority.answer(data):
            self._transport.sendto(reply, peer)


async def _serve(authority: Authority, host: str, port: int) -> None:
    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            while True:
                length = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), _SECONDS_IDLE))
                reply = authority.answer(await asyncio.wait_for(reader.readexactly(length), _SECONDS_IDLE))
                if reply is None:
                    break
                writer.write(len(reply).to_bytes(2) + reply)
                await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    await loop.create_datagram_endpoint(lambda: _Datagrams(authority), local_addr=(host, port))
    server = await asyncio.start_server(connection, host, port)
    await ended.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", required=True, help="HOST:PORT")
    parser.add_argument("--zone", required=True, type=Path, help="master file of the zone; changed by updates")
    parser.add_argument("--key", required=True, type=Path, help="file with the name and the base64 secret of the key that may change it")
    told = parser.parse_args()
    name, secret = told.key.read_text().split()
    host, _, port = told.listen.rpartition(":")
    keyring = dns.tsigkeyring.from_text({name: ("hmac-sha256", secret)})
    asyncio.run(_serve(Authority(told.zone, keyring), host, int(port)))


if __name__ == "__main__":
    main()
