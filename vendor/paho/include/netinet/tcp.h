/* lwIP's sockets.h has the TCP options. */
#include <sys/socket.h>
