"""The other engines, each installed into the benchmarks' cache folder when it is asked for."""

from benchmarks.peers.bytewax import BYTEWAX_PEER
from benchmarks.peers.kafka_streams import KAFKA_STREAMS_PEER
from benchmarks.peers.quix import QUIX_PEER

PEERS = {peer.name: peer for peer in (KAFKA_STREAMS_PEER, QUIX_PEER, BYTEWAX_PEER)}
