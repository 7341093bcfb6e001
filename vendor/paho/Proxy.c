/* paho's Proxy.h: there are no proxies. */
#include "Proxy.h"

int Proxy_connect(networkHandles *net, int ssl, const char *hostname)
{
    (void)net;
    (void)ssl;
    (void)hostname;
    return SOCKET_ERROR;
}

int Proxy_noProxy(const char *dest, char *no_proxy)
{
    (void)dest;
    (void)no_proxy;
    return 0;
}

int Proxy_setHTTPProxy(Clients *client, char *source, char **dest, char **auth_dest,
                       char *prefix)
{
    (void)client;
    (void)source;
    (void)dest;
    (void)auth_dest;
    (void)prefix;
    return SOCKET_ERROR;
}
