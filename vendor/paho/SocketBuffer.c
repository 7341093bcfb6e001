/* paho's SocketBuffer.h. It keeps the unfinished reads and writes of each socket, and 1000
 * bytes for the next one. SSLSocket.c keeps its own reads and finishes every write, so there
 * never is anything to keep here. */
#include "SocketBuffer.h"

int SocketBuffer_initialize(void)
{
    return 0;
}

void SocketBuffer_terminate(void)
{
}

void SocketBuffer_cleanup(SOCKET socket)
{
    (void)socket;
}

pending_writes *SocketBuffer_getWrite(SOCKET socket)
{
    (void)socket;
    return NULL;
}

int SocketBuffer_writeComplete(SOCKET socket)
{
    (void)socket;
    return 0;
}

pending_writes *SocketBuffer_updateWrite(SOCKET socket, char *topic, char *payload)
{
    (void)socket;
    (void)topic;
    (void)payload;
    return NULL;
}
