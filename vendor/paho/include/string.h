/* The C library's, without its table of error texts: paho formats strerror() only into
 * messages below the level that Log.c prints, and every such message has the number. */
#include_next <string.h>

#undef strerror
#define strerror(number) ((void)(number), "")
