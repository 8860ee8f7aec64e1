"""Who may call what every server answers: probe, health, reflection and channelz."""

from services.mesh.policy.roles import EVERYBODY

_OPERATOR = frozenset({"admin"})

ROWS: dict[str, frozenset[str]] = {
    "/novamesh.mesh.v1.ProbeService/Echo": EVERYBODY,
    "/novamesh.mesh.v1.ProbeService/Count": EVERYBODY,
    "/novamesh.mesh.v1.ProbeService/Sum": EVERYBODY,
    "/novamesh.mesh.v1.ProbeService/Relay": EVERYBODY,
    "/grpc.health.v1.Health/Check": EVERYBODY,
    "/grpc.health.v1.Health/List": EVERYBODY,
    "/grpc.health.v1.Health/Watch": EVERYBODY,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _OPERATOR,
    "/grpc.channelz.v1.Channelz/GetTopChannels": _OPERATOR,
    "/grpc.channelz.v1.Channelz/GetServers": _OPERATOR,
    "/grpc.channelz.v1.Channelz/GetServer": _OPERATOR,
    "/grpc.channelz.v1.Channelz/GetServerSockets": _OPERATOR,
    "/grpc.channelz.v1.Channelz/GetChannel": _OPERATOR,
    "/grpc.channelz.v1.Channelz/GetSubchannel": _OPERATOR,
    "/grpc.channelz.v1.Channelz/GetSocket": _OPERATOR,
}
