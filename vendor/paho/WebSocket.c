/* paho's WebSocket.h, through which it sends and receives everything, for TLS alone. Plain
 * TCP and WebSockets are not offered: a client without TLS gets an error. */
#include "WebSocket.h"

#include "SSLSocket.h"

void WebSocket_close(networkHandles *net, int status_code, const char *reason)
{
    (void)net;
    (void)status_code;
    (void)reason;
}

int WebSocket_connect(networkHandles *net, int ssl, const char *uri)
{
    (void)net;
    (void)ssl;
    (void)uri;
    return SOCKET_ERROR;
}

int WebSocket_upgrade(networkHandles *net)
{
    (void)net;
    return SOCKET_ERROR;
}

int WebSocket_getch(networkHandles *net, char *c)
{
    return net->ssl != NULL ? SSLSocket_getch(net->ssl, net->socket, c) : SOCKET_ERROR;
}

char *WebSocket_getdata(networkHandles *net, size_t bytes, size_t *actual_len)
{
    int rc = 0;

    if (net->ssl == NULL) {
        return NULL;
    }
    return SSLSocket_getdata(net->ssl, net->socket, bytes, actual_len, &rc);
}

int WebSocket_putdatas(networkHandles *net, char **buf0, size_t *buf0len,
                       PacketBuffers *bufs)
{
    if (net->ssl == NULL) {
        return SOCKET_ERROR;
    }
    return SSLSocket_putdatas(net->ssl, net->socket, *buf0, *buf0len, *bufs);
}

size_t WebSocket_framePos(void)
{
    return 0;
}

void WebSocket_framePosSeekTo(size_t position)
{
    (void)position;
}

void WebSocket_terminate(void)
{
    Socket_outTerminate(); /* paho leaves this to its WebSocket module */
}
