/* lwIP's sockets.h has struct pollfd and poll(). */
#include <sys/socket.h>
