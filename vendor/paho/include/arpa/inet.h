/* lwIP's sockets.h and inet.h; the C library's file of this name would redefine htons. */
#include <sys/socket.h>
