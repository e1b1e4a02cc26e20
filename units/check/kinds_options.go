package check

import "strings"

// ofOptions are the kinds of options that `systemd --dump-configuration-items` calls
// OTHER, or takes together with others. An option of which the kind is in no line of
// the two may have any value.
var ofOptions = func() map[string]string {
	all := make(map[string]string)
	for line := range strings.Lines(`
BOOLEAN-EMPTY PrivateMounts SetLoginEnvironment BindLogSockets MemoryKSM MountAPIVFS
BOOLEAN PrivatePIDs PrivateBPF
EXIT-STATUS FailureActionExitStatus SuccessActionExitStatus
TTY-SIZE TTYRows TTYColumns
SECONDS TimeoutSec JobTimeoutSec JobRunningTimeoutSec DeferTriggerMaxSec TimeoutStopSec RuntimeMaxSec TimeoutCleanSec
SECONDS-EMPTY TimeoutAbortSec CPUQuotaPeriodSec
SECONDS-LONG ManagedOOMMemoryPressureDurationSec
SIZE MessageQueueMessageSize
LIMIT-BYTES LimitAS LimitSTACK LimitDATA LimitMSGQUEUE LimitCORE LimitMEMLOCK LimitFSIZE LimitRSS
LIMIT-COUNT LimitSIGPENDING LimitNPROC LimitNOFILE LimitRTPRIO LimitLOCKS
LIMIT-TIME LimitRTTIME LimitCPU
LIMIT-NICE LimitNICE
MEMORY MemoryLow MemoryMin MemorySwapMax MemoryZSwapMax StartupMemoryLow StartupMemorySwapMax StartupMemoryZSwapMax DefaultMemoryLow DefaultMemoryMin DefaultStartupMemoryLow
MEMORY-SOME MemoryHigh MemoryMax StartupMemoryHigh StartupMemoryMax MemoryLimit
TASKS TasksMax
QUOTA CacheDirectoryQuota LogsDirectoryQuota StateDirectoryQuota
PERCENT ManagedOOMMemoryPressureLimit ManagedOOMMemoryPressureLimitPercent
CPU-QUOTA CPUQuota
BANDWIDTH IOReadBandwidthMax IOWriteBandwidthMax IOReadIOPSMax IOWriteIOPSMax
BLOCK-WEIGHT BlockIOWeight StartupBlockIOWeight
BLOCK-DEVICEWEIGHT BlockIODeviceWeight
CPUS AllowedCPUs AllowedMemoryNodes StartupAllowedCPUs StartupAllowedMemoryNodes
NUMA-MASK NUMAMask
NUMA-POLICY NUMAPolicy
JOB-MODE OnFailureJobMode OnSuccessJobMode
CONDITION-PATH ConditionPathExists ConditionPathExistsGlob ConditionPathIsDirectory ConditionPathIsSymbolicLink ConditionPathIsMountPoint ConditionPathIsReadWrite ConditionPathIsEncrypted ConditionPathIsSocket ConditionDirectoryNotEmpty ConditionFileNotEmpty ConditionFileIsExecutable ConditionNeedsUpdate
CONDITION-PATH AssertPathExists AssertPathExistsGlob AssertPathIsDirectory AssertPathIsSymbolicLink AssertPathIsMountPoint AssertPathIsReadWrite AssertPathIsEncrypted AssertPathIsSocket AssertDirectoryNotEmpty AssertFileNotEmpty AssertFileIsExecutable AssertNeedsUpdate
MOUNT-PATHS RequiresMountsFor WantsMountsFor TemporaryFileSystem Symlinks
EXEC-SEARCH ExecSearchPath
ROOT-HASH RootHash RootHashSignature
FIFO ListenFIFO ListenMessageQueue ListenUSBFunction
DIRECTORY RuntimeDirectory StateDirectory CacheDirectory LogsDirectory
PLAIN-DIRECTORY ConfigurationDirectory
LOG-FIELDS LogExtraFields
ENV-NAMES UnsetEnvironment
PASS-NAMES PassEnvironment
BUS-NAME BusName
NETWORKINTERFACE BindToDevice
INTERFACE BindNetworkInterface
INTERFACES RestrictNetworkInterfaces
USER User Group SupplementaryGroups SocketUser SocketGroup
FD-NAME FileDescriptorName
OWN-NAMESPACES DelegateNamespaces
IP-ADDRESSES IPAddressAllow IPAddressDeny
BIND-ALLOW SocketBindAllow SocketBindDeny
CONTROLLERS DisableControllers
DELEGATE Delegate
PRIVATE-TMP PrivateTmp
PRIVATE-USERS PrivateUsers
PROTECT-HOME ProtectHome
PROTECT-SYSTEM ProtectSystem
PROTECT-CGROUPS ProtectControlGroups
PROTECT-HOSTNAME ProtectHostname
PROTECT-PROC ProtectProc
PROC-SUBSET ProcSubset
KEYRING KeyringMode
UTMP UtmpMode
OOM-POLICY OOMPolicy
OOM-MODE ManagedOOMSwap ManagedOOMMemoryPressure
OOM-PREFERENCE ManagedOOMPreference
COLLECT CollectMode
MEMORY-THP MemoryTHP
PRESSURE-WATCH CPUPressureWatch MemoryPressureWatch IOPressureWatch
PRESERVE RuntimeDirectoryPreserve
STORE-PRESERVE FileDescriptorStorePreserve
DEFER DeferTrigger
REFRESH RefreshOnReload
TIMESTAMPING Timestamping
PROTOCOL SocketProtocol
OPEN-FILE OpenFile
CREDENTIAL SetCredential
LOAD-CREDENTIAL LoadCredential LoadCredentialEncrypted
CREDENTIALS ImportCredential
BPF-PATH BPFProgram
CORE-FILTER CoredumpFilter
CGROUP-NAME DelegateSubgroup
NAMESPACE LogNamespace
MOUNT-IMAGES MountImages
EXTENSIONS ExtensionImages
PATHS ExtensionDirectories
PARTITION CPUSetPartition
UNIT RequiresOverridable RequisiteOverridable
DATA StandardInputData
TEXT StandardInputText
SEALED SetCredentialEncrypted
XATTR XAttrAccept XAttrEntryPoint XAttrListen
NFT-SET NFTSet
FILE-NAMES OOMRules
SPECIAL ListenSpecial IPIngressFilterPath IPEgressFilterPath
STRING RebootArgument JobTimeoutRebootArgument PAMName AppArmorProfile SmackProcessLabel
PID-FILE PIDFile
WORKING WorkingDirectory
`) {
		fields := strings.Fields(line)
		for _, option := range fields[min(1, len(fields)):] {
			all[option] = fields[0]
		}
	}
	return all
}()
