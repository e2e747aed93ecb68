/** Federation with other trust domains: publishes the own bundle, and fetches those of others. */
