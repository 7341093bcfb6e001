/* What is remembered of certificates survives a sleep only under its seal. */
#include "verified.h"

#include <string.h>

#include "check.h"

static const struct verified_part *certificate(unsigned number)
{
    static uint8_t key[65], hash[32];
    static struct verified_part parts[] = {{key, sizeof key}, {hash, sizeof hash}};
    memset(key, (int)number, sizeof key);
    memset(hash, 0x5A, sizeof hash);
    return parts;
}

static void check_remembered(unsigned first, unsigned count)
{
    for (unsigned number = 0; number < 8; number++) {
        bool known = number >= first && number < first + count;
        CHECK_EQUAL(verified_before(certificate(number), 2), known);
    }
}

void test_verified_seal(void);
void test_verified_seal(void)
{
    static const uint8_t key[] = "a private key", roots[] = "the roots", other[] = "the others";
    const struct verified_part binding[] = {{key, sizeof key}, {roots, sizeof roots}};
    struct verified_sealed sealed, changed;

    verified_in_chain(true);
    verified_forget();
    CHECK(verified_seal(binding, 2, &sealed));
    CHECK_EQUAL(sealed.used, 0);
    CHECK(verified_unseal(binding, 2, &sealed));
    check_remembered(0, 0);

    for (unsigned number = 2; number < 5; number++) {
        verified_remember(certificate(number), 2);
    }
    CHECK(verified_seal(binding, 2, &sealed));
    CHECK_EQUAL(sealed.used, 3);
    verified_forget();
    check_remembered(0, 0);
    CHECK(verified_unseal(binding, 2, &sealed));
    check_remembered(2, 3);

    /* Whatever is changed, nothing of it is taken and nothing of ours is lost. */
    verified_forget();
    verified_remember(certificate(7), 2);
    for (unsigned bit = 0; bit < 8 * sizeof sealed; bit += 3) {
        changed = sealed;
        ((uint8_t *)&changed)[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        CHECK(!verified_unseal(binding, 2, &changed));
    }
    memset(&changed, 0, sizeof changed);
    CHECK(!verified_unseal(binding, 2, &changed));
    memset(&changed, 0xFF, sizeof changed);
    CHECK(!verified_unseal(binding, 2, &changed));
    const struct verified_part of_another_key[] = {{other, sizeof other}, {roots, sizeof roots}};
    CHECK(!verified_unseal(of_another_key, 2, &sealed));
    const struct verified_part of_other_roots[] = {{key, sizeof key}, {other, sizeof other}};
    CHECK(!verified_unseal(of_other_roots, 2, &sealed));
    /* The same bytes, parted elsewhere. */
    const struct verified_part parted[] = {{key, sizeof key - 1}, {roots, sizeof roots}};
    CHECK(!verified_unseal(parted, 2, &sealed));
    check_remembered(7, 1);

    /* The oldest makes room, before and after. */
    verified_forget();
    for (unsigned number = 0; number < 5; number++) {
        verified_remember(certificate(number), 2);
    }
    CHECK(verified_seal(binding, 2, &sealed));
    verified_forget();
    CHECK(verified_unseal(binding, 2, &sealed));
    check_remembered(1, 4);
    verified_in_chain(false);
}
