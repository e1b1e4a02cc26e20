/* Sends by libsystemd what twinHelper sends by package notify. The prototypes
 * stand here so that building it takes the library alone. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

int sd_notifyf(int unset_environment, const char *format, ...);
int sd_pid_notify_with_fds(pid_t pid, int unset_environment, const char *state, const int *fds, unsigned n_fds);
int sd_notify_barrier(int unset_environment, uint64_t timeout);

int main(void) {
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0)
		return 1;
	for (int i = 0; i < 2; i++)
		if (sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDNAME=null", &null, 1) <= 0)
			return 2;
	if (sd_notifyf(0,
		       "READY=1\nSTATUS=a twin\nERRNO=5\nBUSERROR=org.example.Twin\nEXIT_STATUS=7\n"
		       "MAINPID=%d\nNOTIFYACCESS=all\nWATCHDOG=1\nWATCHDOG_USEC=60000000\nEXTEND_TIMEOUT_USEC=60000000",
		       (int) getpid()) <= 0)
		return 3;
	if (sd_notify_barrier(0, UINT64_MAX) < 0)
		return 4;
	for (;;)
		pause();
}
