/* Functions of a secret of four bytes, for the test of the test. */
typedef volatile unsigned char byte;

unsigned leaks_by_branch(const byte *secret)
{
    for (unsigned i = 0; i < 4; i++) {
        if (secret[i] != i) {
            return 0;
        }
    }
    return 1;
}

unsigned leaks_by_address(const byte *secret)
{
    return secret[secret[0] & 3];
}

unsigned leaks_nothing(const byte *secret)
{
    return (unsigned)(secret[0] ^ secret[1] ^ secret[2] ^ secret[3]);
}
