/* lwIP's sockets.h has struct iovec and writev(). */
#include <sys/socket.h>
