function wait_for_subscriber()
%WAIT_FOR_SUBSCRIBER  Return once somebody subscribes; an error after 30 s.
begin = tic;
while rtelasto_mex('stats').subscribers < 1
    if toc(begin) > 30
        error('test:wait', 'nobody subscribed');
    end
    pause(0.005);
end
end
