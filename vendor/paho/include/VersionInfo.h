/* What paho's own build would generate. */
#ifndef FW_PAHO_VERSION_INFO_H
#define FW_PAHO_VERSION_INFO_H

#define BUILD_TIMESTAMP ""
#define CLIENT_VERSION "1.3.16"

#endif
