#include "check.h"
#include "semihost.h"

void test_exit(int status)
{
    semihost_exit(status);
}
