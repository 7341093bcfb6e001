/* paho's SSLSocket.h includes this and uses nothing of it. */
