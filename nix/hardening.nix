# What both services may not do. MemoryDenyWriteExecute is missing because the JavaScript engine compiles at run time, and
# a forbidden system call gives EPERM instead of a killed process: Node tries some that it can do without.
{
  ProtectSystem = "strict";
  ProtectHome = true;
  PrivateTmp = true;
  PrivateDevices = true;
  PrivateMounts = true;
  PrivateUsers = true;
  RemoveIPC = true;
  ProtectKernelTunables = true;
  ProtectKernelModules = true;
  ProtectKernelLogs = true;
  ProtectControlGroups = true;
  ProtectClock = true;
  ProtectHostname = true;
  RestrictSUIDSGID = true;
  RestrictRealtime = true;
  RestrictNamespaces = true;
  RestrictAddressFamilies = [
    "AF_UNIX"
    "AF_INET"
    "AF_INET6"
    "AF_NETLINK"
  ];
  LockPersonality = true;
  NoNewPrivileges = true;
  SystemCallArchitectures = "native";
  SystemCallFilter = [
    "@system-service"
    "~@privileged"
    "~@resources"
  ];
  SystemCallErrorNumber = "EPERM";
  CapabilityBoundingSet = "";
  ReadOnlyPaths = [ "/nix/" ];
}
